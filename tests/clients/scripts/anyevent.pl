# What AnyEvent::Memcached gets from the server at an address. Prints NAME=ANSWER.
use strict;
use warnings;
use AnyEvent;
use AnyEvent::Memcached;
my $cache = AnyEvent::Memcached->new(servers => [$ARGV[0]], cv => AE::cv, namespace => 'event:');
sub ask {
    my ($name, @arguments) = @_;
    my $answered = AE::cv;
    $cache->$name(@arguments, cb => sub { $answered->send(shift) });
    my $answer = $answered->recv;
    $answer = join ',', map { "$_:$answer->{$_}" } sort keys %$answer if ref $answer;
    printf "%s=%s\n", $name, $answer // '';
}
ask(set => 'a', 'x');
ask(add => 'a', 'y');
ask(get => 'a');
ask(get => ['a', 'b']);
ask(replace => 'a', 'z');
ask(append => 'a', '!');
ask(get => 'a');
ask(set => 'n', 5);
ask(incr => 'n', 3);
ask(decr => 'n', 1);
ask(delete => 'a');
ask(get => 'a');
