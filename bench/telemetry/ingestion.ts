// Where telemetry goes in the bench: takes everything, keeps nothing.
import { createServer } from 'node:http';
import { listenAnywhere } from '../listen.ts';

const server = createServer((req, res) => {
  req.resume().on('end', () => {
    res.writeHead(200, { 'content-type': 'application/json' });
    res.end('{"itemsReceived":0,"itemsAccepted":0,"errors":[]}');
  });
});
process.stdout.write(`${await listenAnywhere(server)}\n`);
