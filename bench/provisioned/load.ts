// The callers: each request is sent when it is due, whether or not earlier ones were answered, and its answer is read to
// the end.
import { Agent, request } from 'node:http';
import type { ClientRequest } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Answered } from './accounting.ts';
import type { Arrival } from './arrivals.ts';
import { clock } from './clock.ts';

export interface Target {
  readonly url: string;
  readonly apiKey: string;
}

interface Call {
  readonly id: number;
  readonly body: string;
  readonly isStreamed: boolean;
}

const ANSWER_DEADLINE_MS = 15_000;
const PATH = '/openai/v1/chat/completions';
const SESSION = /^simulated-(.+)$/;
const CONTENT = /"content":"[^"]/;
const STREAM_END = 'data: [DONE]\n\n';

export class Callers {
  private readonly target: Target;
  private readonly agent = new Agent({ keepAlive: true });

  constructor(target: Target) {
    this.target = target;
  }

  /** Resolves when all are answered or given up. `startMs` is when the window begins. */
  async send(arrivals: readonly Arrival[], deployment: string, startMs: number): Promise<Answered[]> {
    const answers: Promise<Answered>[] = [];
    for (const arrival of arrivals) {
      const waitMs = startMs + arrival.atMs - clock();
      if (waitMs > 0) await sleep(waitMs);
      answers.push(this.ask({ ...arrival, body: bodyOf(arrival, deployment) }));
    }
    return Promise.all(answers);
  }

  /** So many at a time, until all are answered. */
  async sendAll(arrivals: readonly Arrival[], deployment: string, concurrency: number): Promise<Answered[]> {
    const answers: Answered[] = [];
    const waiting = [...arrivals];
    const work = async (): Promise<void> => {
      for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
        answers.push(await this.ask({ ...next, body: bodyOf(next, deployment) }));
      }
    };
    await Promise.all(Array.from({ length: concurrency }, work));
    return answers;
  }

  close(): void {
    this.agent.destroy();
  }

  /** Never rejects. */
  private ask({ id, body, isStreamed }: Call): Promise<Answered> {
    const sentAtMs = clock();
    return new Promise((resolve) => {
      let contentAtMs: number | undefined;
      const finish = (rest: Partial<Answered>): void => {
        clearTimeout(deadline);
        const content = contentAtMs === undefined ? {} : { contentAtMs };
        resolve({ id, sentAtMs, endedAtMs: clock(), ...content, ...rest });
      };
      const sent = this.request(body);
      const deadline = setTimeout(() => sent.destroy(new Error('no answer in time')), ANSWER_DEADLINE_MS);
      sent.on('error', (error: NodeJS.ErrnoException) => finish({ problem: error.code ?? error.message }));
      sent.once('response', (answer) => {
        const status = answer.statusCode ?? 0;
        const backend = SESSION.exec(headerOf(answer.headers['azureml-model-session']))?.[1];
        let text = '';
        answer.setEncoding('utf8');
        answer.on('data', (piece: string) => {
          text += piece;
          if (contentAtMs === undefined && (!isStreamed || CONTENT.test(text))) contentAtMs = clock();
        });
        answer.on('error', (error: NodeJS.ErrnoException) => finish({ problem: error.code ?? error.message }));
        answer.once('end', () => {
          const isWhole = status !== 200 || (isStreamed ? text.endsWith(STREAM_END) : text.endsWith('}'));
          const by = backend === undefined ? {} : { backend };
          finish(isWhole ? { status, ...by } : { ...by, problem: 'the answer is not whole' });
        });
      });
      sent.end(body);
    });
  }

  private request(body: string): ClientRequest {
    return request(new URL(PATH, this.target.url), {
      agent: this.agent,
      method: 'POST',
      headers: {
        'api-key': this.target.apiKey,
        'content-type': 'application/json',
        'content-length': Buffer.byteLength(body),
      },
    });
  }
}

/** The number comes first, so that no two prompts begin alike and nothing is found in the prompt cache. */
function bodyOf({ id, promptTokens, maxTokens, isStreamed }: Arrival, deployment: string): string {
  const content = `request ${id} `.padEnd(promptTokens * 4, 'and so on, ');
  const messages = [{ role: 'user', content }];
  return JSON.stringify({ model: deployment, messages, max_completion_tokens: maxTokens, stream: isStreamed });
}

/** The number that bodyOf wrote. */
export function idIn(body: Buffer): number | undefined {
  const found = /"request (-?\d+) /.exec(body.toString('latin1', 0, 200))?.[1];
  return found === undefined ? undefined : Number(found);
}

function headerOf(value: string | string[] | undefined): string {
  return typeof value === 'string' ? value : '';
}
