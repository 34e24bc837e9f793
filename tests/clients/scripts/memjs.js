// What memjs gets from the server at an address. Prints one line: the answer, or the error.
const memjs = require(process.argv[3]);
const options = { retries: 1, timeout: 5, conntimeout: 5, logger: { log() {} } };
const client = memjs.Client.create(process.argv[2], options);
client.set('a', '1', {}, (error, stored) => {
  console.log(error ? `error ${error.message || error}` : `stored ${stored}`);
  process.exit(0);
});
