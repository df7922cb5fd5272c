/**
 * Application Insights, this side of it: folds the events into spans, lines and metrics and gives them, every two
 * seconds, to a thread of its own (app-insights.ts), where the SDK may take the time and memory that it takes. Nothing
 * here waits for it: what it cannot take is left out and counted.
 */
import { Worker } from 'node:worker_threads';
import { observeAll, type Observe } from './events.ts';
import type { FromSender, LineData, SenderData, SpanData, ToSender } from './insights-data.ts';
import { createLines } from './lines.ts';
import { createMeasures } from './measures.ts';
import { createSpans } from './spans.ts';
import { steady } from './throttles.ts';

/** What the settings say. */
export interface InsightsConfig {
  /** A secret, if a weak one: who has it can write. */
  readonly connectionString: string;
  /** Origin that telemetry goes to. */
  readonly endpoint: string;
  /** With a Microsoft Entra token: the resource may take nothing without. */
  readonly byIdentity: boolean;
  /** Of the traces that begin here; absent: about five a second. */
  readonly samplePercent?: number;
  readonly roleName: string;
  readonly roleInstance: string;
}

export interface Insights {
  readonly observe: Observe;
  /** Sends what there is, for two seconds at most, and ends. */
  close(): Promise<void>;
}

const SENT_EVERY_MS = 2000;
/** Spans and lines that wait here. */
const MOST_WAITING = 2048;
/** Batches that the thread has been given and not taken. */
const MOST_UNTAKEN = 2;
const CLOSE_MS = 2000;
const TOLD_EVERY_MS = 300_000;
const RESTART_MS = 60_000;

export interface InsightsParts {
  /** Told of the sending itself. */
  readonly notify: Observe;
  /** Monotonic ms. */
  readonly clock: () => number;
  readonly wallClockMs: () => number;
  /** For a resource that is asked by identity. */
  readonly token: () => Promise<string>;
  /** The real thread by default. */
  readonly startSender?: (config: InsightsConfig) => Sender;
}

/** As much of a thread as is needed of it. */
export interface Sender {
  postMessage(message: ToSender, transfer: []): void;
  on(event: 'message', listener: (message: FromSender) => void): unknown;
  on(event: 'error', listener: (error: Error) => void): unknown;
  on(event: 'exit', listener: () => void): unknown;
  terminate(): Promise<unknown>;
}

export function startInsights(
  config: InsightsConfig,
  { notify, clock, wallClockMs, token, startSender = startThread }: InsightsParts,
): Insights {
  let spans: SpanData[] = [];
  let lines: LineData[] = [];
  let untaken = 0;
  let leftOut = 0;
  let isClosed = false;
  let worker: Sender | undefined;
  const measures = createMeasures();
  const trouble = createTrouble(notify, clock);

  function keep<T>(list: T[], item: T): void {
    if (spans.length + lines.length < MOST_WAITING) list.push(item);
    else leftOut += 1;
  }

  const changes = steady(createLines(wallClockMs, (line) => keep(lines, line)));
  const observe = observeAll([
    createSpans(wallClockMs, (span) => keep(spans, span)),
    measures.observe,
    changes.observe,
  ]);

  function start(): void {
    const sender = startSender(config);
    worker = sender;
    untaken = 0;
    sender.on('message', (message: FromSender) => {
      if (message.kind === 'took') untaken -= 1;
      else if (message.kind === 'token-wanted') giveToken(sender);
      else if (message.kind === 'sent') trouble.over();
      else if (message.kind === 'unsent') trouble.begins(message.reason);
    });
    sender.on('error', (error: Error) => {
      worker = undefined;
      trouble.begins(`its thread ended: ${'code' in error ? String(error.code) : error.name}`);
      if (!isClosed) setTimeout(start, RESTART_MS).unref();
    });
  }

  function giveToken(sender: Sender): void {
    token().then(
      (given) => post(sender, { kind: 'token', token: given }),
      () => {
        trouble.begins('the identity gives no token for it');
        post(sender, { kind: 'token' });
      },
    );
  }

  function send(): void {
    if (worker === undefined || untaken >= MOST_UNTAKEN) return;
    const batch = { spans, lines, measures: measures.take() };
    if (spans.length + lines.length + batch.measures.length === 0) return;
    spans = [];
    lines = [];
    untaken += 1;
    post(worker, { kind: 'batch', batch });
    trouble.leftOut(leftOut);
    leftOut = 0;
  }

  function sendLater(): NodeJS.Timeout {
    return setTimeout(() => {
      timer = sendLater();
      send();
    }, SENT_EVERY_MS).unref();
  }

  start();
  let timer = sendLater();

  return {
    observe,
    async close() {
      if (isClosed) return;
      isClosed = true;
      clearTimeout(timer);
      changes.flush();
      untaken = 0;
      send();
      await closeSender(worker);
    },
  };
}

/** The SDK looks into the environment; it is shown what is meant for it, and no more. */
function startThread({ connectionString, endpoint, byIdentity, roleName, roleInstance }: InsightsConfig): Worker {
  const workerData: SenderData = { connectionString, endpoint, byIdentity };
  const file = import.meta.url.endsWith('.ts') ? './app-insights.ts' : './app-insights.js';
  const worker = new Worker(new URL(file, import.meta.url), {
    workerData,
    env: {
      OTEL_SERVICE_NAME: roleName,
      OTEL_RESOURCE_ATTRIBUTES: `service.instance.id=${encodeURIComponent(roleInstance)}`,
      OTEL_BSP_SCHEDULE_DELAY: '1000',
      OTEL_BSP_MAX_QUEUE_SIZE: '4096',
      OTEL_METRIC_EXPORT_INTERVAL: '60000',
      APPLICATION_INSIGHTS_NO_STATSBEAT: 'true',
      APPLICATIONINSIGHTS_STATSBEAT_DISABLED: 'true',
      APPLICATIONINSIGHTS_SDKSTATS_DISABLED: 'true',
      APPLICATIONINSIGHTS_OPENTELEMETRY_RESOURCE_METRIC_DISABLED: 'true',
    },
    // What it would say goes nowhere: trouble is told in words of ours.
    stdout: true,
    stderr: true,
    execArgv: [],
    resourceLimits: { maxOldGenerationSizeMb: 128, maxYoungGenerationSizeMb: 16 },
    name: 'app-insights',
  });
  worker.stdout.resume();
  worker.stderr.resume();
  worker.unref();
  return worker;
}

async function closeSender(worker: Sender | undefined): Promise<void> {
  if (worker === undefined) return;
  const closed = new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, CLOSE_MS);
    const done = (): void => {
      clearTimeout(timer);
      resolve();
    };
    worker.on('message', ({ kind }: FromSender) => {
      if (kind === 'closed') done();
    });
    worker.on('exit', done);
  });
  post(worker, { kind: 'close' });
  await closed;
  await worker.terminate();
}

function post(worker: Sender, message: ToSender): void {
  worker.postMessage(message, []);
}

/** Says once that telemetry does not arrive, and once that it does again; not more often than every five minutes. */
function createTrouble(
  notify: Observe,
  clock: () => number,
): { begins(reason: string): void; over(): void; leftOut(count: number): void } {
  let isTold = false;
  let quietUntil = Number.NEGATIVE_INFINITY;
  let missed = 0;

  function mayTell(): boolean {
    if (clock() < quietUntil) return false;
    quietUntil = clock() + TOLD_EVERY_MS;
    return true;
  }

  return {
    begins(reason) {
      if (isTold || !mayTell()) return;
      isTold = true;
      const text =
        `Application Insights takes no telemetry: ${reason}. Requests are served as ever. Check ` +
        'APPLICATIONINSIGHTS_CONNECTION_STRING and the network';
      notify({ kind: 'notice', level: 'warning', text });
    },
    over() {
      if (!isTold) return;
      isTold = false;
      notify({ kind: 'notice', level: 'info', text: 'Application Insights takes telemetry again' });
    },
    leftOut(count) {
      missed += count;
      if (missed === 0 || !mayTell()) return;
      const text = `${missed} spans and lines for Application Insights were left out: it takes them too slowly`;
      missed = 0;
      notify({ kind: 'notice', level: 'warning', text });
    },
  };
}
