<?php
// Counts in a session, a given number of times: SAVE_PATH SESSION TIMES. Prints the last number.
[, $path, $session, $times] = $argv;
ini_set('session.save_handler', 'memcached');
ini_set('session.save_path', $path);
ini_set('session.use_cookies', '0');
ini_set('session.cache_limiter', '');
set_error_handler(function ($level, $message) {
    fwrite(STDERR, "$message\n");
    exit(1);
});
for ($count = 0; $count < $times; $count++) {
    session_id($session);
    session_start();
    $_SESSION['n'] = ($_SESSION['n'] ?? 0) + 1;
    $last = $_SESSION['n'];
    session_write_close();
}
echo "$last\n";
