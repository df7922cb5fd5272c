// A simulated resource as a thing to hold: its calls, its sockets, its start and end.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { Agent, IncomingMessage, createServer, request } from 'node:http';
import { Socket } from 'node:net';
import { setImmediate } from 'node:timers/promises';
import { CallLog } from '../../simulator/call-log.ts';
import { deliver } from '../../simulator/answering/deliver.ts';
import { smallFleet, startFleet } from '../../simulator/fleet.ts';
import { startResource } from '../../simulator/server.ts';
import { CHAT, ask, chatBody, deployments, eventually, open, withResource } from './support.ts';

describe('simulator: calls', () => {
  it('records method, path with query, headers as sent and the body', () =>
    withResource({}, async (resource) => {
      await ask(resource, { path: `${CHAT}?x=1`, headers: { 'X-Mixed': 'Case' } });
      const [call] = resource.calls;
      assert.equal(call?.method, 'POST');
      assert.equal(call?.path, `${CHAT}?x=1`);
      assert.equal(call?.headers['x-mixed'], 'Case');
      assert.ok(call?.rawHeaders.includes('X-Mixed'));
      assert.equal(call?.body.toString(), JSON.stringify(chatBody));
      resource.clearCalls();
      assert.equal(resource.calls.length, 0);
    }));

  it('tells of the next call when its head arrives, before its body', () =>
    withResource({}, async (resource) => {
      const called = resource.onceCalled();
      const req = request(resource.url + CHAT, { method: 'POST', agent: false });
      req.on('error', () => {}); // the resource closes while the body is still missing
      req.flushHeaders();
      const call = await called;
      assert.equal(call.path, CHAT);
      assert.equal(call.body.length, 0);
      assert.equal(resource.openRequests, 1);
      req.destroy();
    }));

  it('keeps the last 10,000 calls', () => {
    const log = new CallLog();
    const socket = new Socket();
    for (let at = 0; at < 10_005; at += 1) {
      const req = new IncomingMessage(socket);
      req.url = `/${at}`;
      log.add(req, undefined);
    }
    assert.equal(log.calls.length, 10_000);
    assert.equal(log.calls[0]?.path, '/5');
  });
});

describe('simulator: sockets', () => {
  it('keeps a connection open and drops it, while idle, when told', () =>
    withResource({}, async (resource) => {
      const agent = new Agent({ keepAlive: true });
      const reply = await new Promise<number>((resolve, reject) => {
        const req = request(resource.url + CHAT, { method: 'POST', agent }, (res) => {
          res.resume();
          res.once('end', () => resolve(res.statusCode ?? 0));
        });
        req.on('error', reject);
        req.end(JSON.stringify(chatBody));
      });
      assert.equal(reply, 200);
      await eventually(() => resource.openRequests === 0);
      assert.equal(resource.openSockets, 1);
      resource.dropIdleSockets();
      await eventually(() => resource.openSockets === 0);
      agent.destroy();
    }));

  it('leaves a connection with a request on it alone when idle ones are dropped', () =>
    withResource({}, async (resource) => {
      resource.script({ kind: 'stall', afterChunks: 1 });
      const res = await open(resource, { body: { ...chatBody, stream: true } });
      resource.dropIdleSockets();
      await setImmediate();
      assert.equal(resource.openSockets, 1);
      res.destroy();
    }));

  it('refuses connections from when it stops until it listens again, on the same port', () =>
    withResource({}, async (resource) => {
      const { url } = resource;
      await resource.stopListening();
      await resource.stopListening();
      await assert.rejects(ask(resource), { code: 'ECONNREFUSED' });
      await resource.listenAgain();
      assert.equal(resource.url, url);
      assert.equal((await ask(resource)).status, 200);
    }));

  it('keeps its port while it does not listen, and gives it back when it listens again or is closed', () =>
    withResource({}, async (resource) => {
      const port = Number(new URL(resource.url).port);
      for (let n = 0; n < 3; n += 1) {
        await resource.stopListening();
        assertTaken(port, true);
        await assert.rejects(ask(resource), { code: 'ECONNREFUSED' });
        await resource.listenAgain();
        assert.equal((await ask(resource)).status, 200);
        assertTaken(port, false);
      }
      await resource.stopListening();
      await resource.close();
      assertTaken(port, false);
    }));

  it('makes events no faster than its caller takes them', async () => {
    const TOTAL = 2000;
    let made = 0;
    function* events(): Generator<string> {
      for (; made < TOTAL; made += 1) {
        yield 'x'.repeat(64 * 1024);
      }
    }
    const server = createServer((_req, res) => {
      void deliver(res, { kind: 'stream', headers: [], events: events() }, undefined, 0);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    assert.ok(typeof address === 'object' && address !== null);
    const req = request({ port: address.port, agent: false });
    req.on('error', () => {});
    req.end();
    await once(req, 'response'); // and nobody reads it
    for (let turn = 0; turn < 200; turn += 1) {
      await setImmediate();
    }
    assert.ok(made > 0 && made < TOTAL / 2, `made ${made} of ${TOTAL}`);
    req.destroy();
    server.close();
    await once(server, 'close');
  });
});

describe('simulator: fleet', () => {
  it('starts resources with names, keys and ports of their own', async () => {
    const fleet = await startFleet(smallFleet());
    try {
      assert.deepEqual(
        fleet.resources.map((resource) => resource.name),
        ['openai1', 'openai2', 'openai3'],
      );
      assert.equal(new Set(fleet.resources.map((resource) => resource.url)).size, 3);
      for (const [index, resource] of fleet.resources.entries()) {
        const headers = { 'api-key': `simulated-key-${index + 1}` };
        assert.equal((await ask(resource, { headers })).status, 200);
        assert.equal((await ask(resource, { headers: { 'api-key': 'simulated-key-0' } })).status, 401);
      }
    } finally {
      await fleet.close();
    }
  });

  it('takes tokens too, as long as they have their role', async () => {
    const fleet = await startFleet(smallFleet().slice(0, 1));
    try {
      const [resource] = fleet.resources;
      assert.ok(resource);
      const token = { headers: { authorization: 'Bearer simulated-token-1' } };
      assert.equal((await ask(resource, token)).status, 200);
      resource.withoutRole(60_000);
      assert.equal((await ask(resource, token)).status, 401);
      assert.equal((await ask(resource, { headers: { 'api-key': 'simulated-key-1' } })).status, 200);
    } finally {
      await fleet.close();
    }
  });

  it('throttles a newcomer within a dozen requests to one resource', async () => {
    const fleet = await startFleet(smallFleet().slice(0, 1));
    try {
      const [resource] = fleet.resources;
      assert.ok(resource);
      const statuses: number[] = [];
      for (let at = 0; at < 12; at += 1) {
        statuses.push((await ask(resource, { headers: { 'api-key': 'simulated-key-1' } })).status);
      }
      assert.ok(statuses.includes(200) && statuses.includes(429), statuses.join(' '));
    } finally {
      await fleet.close();
    }
  });

  it('closes those already started when one cannot start', async () => {
    const taken = await startResource({ name: 'taken', deployments });
    try {
      const port = Number(new URL(taken.url).port);
      const free = { name: 'free', deployments };
      await assert.rejects(startFleet([free, { name: 'late', deployments, port }]), { code: 'EADDRINUSE' });
    } finally {
      await taken.close();
    }
  });
});

/** A connection that stands goes out from this port, which nobody else is given then; only Linux tells. */
function assertTaken(port: number, isTaken: boolean): void {
  const table = '/proc/net/tcp';
  if (!existsSync(table)) return;
  const local = `0100007F:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  const lines = readFileSync(table, 'utf8').split('\n');
  const connections = lines.filter((line) => line.includes(`: ${local} `) && / 01 /.test(line));
  assert.equal(connections.length, isTaken ? 1 : 0, connections.join('\n'));
}
