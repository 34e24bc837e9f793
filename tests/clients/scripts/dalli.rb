# What dalli gets from the server at an address. Prints one line: the answer, or the error.
require 'dalli'
require 'logger'
Dalli.logger = Logger.new(nil)
begin
  puts "stored #{Dalli::Client.new(ARGV[0]).set('a', '1')}"
rescue StandardError => error
  puts "error #{error.message}"
end
