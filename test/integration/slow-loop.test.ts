// The event loop stands still at times, under load and in collections of garbage: that is no backend's fault.

import assert from 'node:assert/strict';
import { startBalancer, type RunningBalancer } from '../support/balancer.ts';
import { chat, send } from '../support/http.ts';
import { course } from '../support/observed.ts';
import { startRawUpstream, type RawUpstream } from '../support/raw-upstream.ts';

const PATH = '/v1/chat/completions';
const DEADLINE_MS = 100;
const TEXT = '{"choices":[]}';
const EVENT = 'data: {"choices":[{"index":0,"delta":{"content":"x"}}]}\n\ndata: [DONE]\n\n';

function answerOf(type: string, body: string): string {
  return `HTTP/1.1 200 OK\r\ncontent-type: ${type}\r\ncontent-length: ${body.length}\r\n\r\n${body}`;
}

/** Nothing is read meanwhile, and every timer is due afterwards. */
function standStill(): void {
  const until = performance.now() + 3 * DEADLINE_MS;
  while (performance.now() < until);
}

describe('an answer that came in time, while the event loop stood still', () => {
  let upstream: RawUpstream;
  let other: RawUpstream;
  let running: RunningBalancer;
  afterEach(async () => {
    await running.close();
    await upstream.close();
    await other.close();
  });

  for (const [what, answer, body] of [
    ['an answer', answerOf('application/json', TEXT), chat()],
    ['the beginning of a stream', answerOf('text/event-stream', EVENT), chat({ stream: true })],
  ] as const) {
    it(`is given, and nobody else is asked: ${what}`, async () => {
      other = await startRawUpstream(() => assert.fail('the other is asked'));
      upstream = await startRawUpstream((socket) => {
        socket.write(answer); // It is in the kernel's hands when this returns.
        standStill();
      });
      const seconds = String(DEADLINE_MS / 1000);
      running = await startBalancer({
        backends: 0,
        settings: {
          BACKEND_1_URL: upstream.url,
          BACKEND_1_APIKEY: 'key',
          // Somebody who could be asked, or a stream would be waited for.
          BACKEND_2_URL: other.url,
          BACKEND_2_APIKEY: 'key',
          HTTP_TIMEOUT_SECONDS: seconds,
          FIRST_TOKEN_TIMEOUT_SECONDS: seconds,
        },
      });
      const received = await send(running.url + PATH, { body });
      assert.deepEqual([received.status, course(received).trace], [200, 'openai1=200']);
      assert.deepEqual([upstream.requests.length, other.requests.length], [1, 0]);
      running.assertIdle();
    });
  }
});
