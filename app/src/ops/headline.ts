/** Is everything fine? One sentence that answers it, out of what every backend is now. */
import type { BackendStatus, DeploymentStatus } from './status.ts';

export interface Headline {
  /** fine: nobody need look. degraded: requests are answered, by fewer. down: nobody serves. */
  readonly level: 'fine' | 'degraded' | 'down';
  readonly text: string;
  /** The same without what changes by the second: for whoever hears it read out. */
  readonly gist: string;
}

interface Trouble {
  readonly text: string;
  readonly gist: string;
  /** All of what is asked of it is in trouble. */
  readonly isWhole: boolean;
}

type Part = BackendStatus | DeploymentStatus;

export function headlineOf(backends: readonly BackendStatus[], isDraining: boolean): Headline {
  if (isDraining) {
    const text = 'The balancer is shutting down: streams finish, and nothing new is taken soon.';
    return { level: 'degraded', text, gist: text };
  }
  const troubles = backends.flatMap((backend) => troubleOf(backend) ?? []);
  const count = backends.length;
  if (troubles.length === 0) {
    const text = count === 1 ? `${backends[0]?.name ?? 'The backend'} serves.` : `All ${count} backends serve.`;
    return { level: 'fine', text, gist: text };
  }
  const serving = count - troubles.filter(({ isWhole }) => isWhole).length;
  const level = serving === 0 ? 'down' : 'degraded';
  const rest = serving === 0 ? 'no backend serves' : `${serving} of ${count} ${serving === 1 ? 'serves' : 'serve'}`;
  return {
    level,
    text: `${joined(troubles.map(({ text }) => text))}; ${rest}.`,
    gist: `${joined(troubles.map(({ gist }) => gist))}; ${rest}.`,
  };
}

function troubleOf(backend: BackendStatus): Trouble | undefined {
  const { name } = backend;
  if (isResting(backend)) {
    const said = saidOf(backend);
    return { text: `${name} ${said.text}`, gist: `${name} ${said.gist}`, isWhole: true };
  }
  // A name that it does not know is the caller's slip more often than the backend's trouble.
  const asked = backend.deployments.filter(({ state }) => state !== 'missing');
  const resting = asked.filter(isResting);
  const [first] = resting;
  if (first === undefined) return undefined;
  const said = saidOf(first);
  const isWhole = resting.length === asked.length;
  if (isWhole && resting.length === 1) {
    return { text: `${name} ${said.text}`, gist: `${name} ${said.gist}`, isWhole };
  }
  const what = resting.length === 1 ? first.deployment : `${resting.length} deployments`;
  return { text: `${name} ${said.text} (${what})`, gist: `${name} ${said.gist} (${what})`, isWhole };
}

/** Its rest is not over. Whoever is coming back is asked, and serves. */
export function isResting({ state, standing }: Part): boolean {
  return standing !== 'available' && (state === 'cooldown' || state === 'open' || state === 'quarantined');
}

function saidOf({ state, leftMs = 0, reason }: Part): { readonly text: string; readonly gist: string } {
  const because = reason === undefined ? '' : ` (${reason})`;
  if (state === 'quarantined') {
    const text = `is quarantined${because}`;
    return { text, gist: text };
  }
  const gist = state === 'cooldown' ? 'is cooling down' : `is failing${because}`;
  return { gist, text: `${gist}${state === 'cooldown' ? ` for ${secondsOf(leftMs)}` : ''}` };
}

/** `0.8 s`, `12 s`, `3 min`, `5 h` */
function secondsOf(ms: number): string {
  if (ms < 9950) return `${(ms / 1000).toFixed(1)} s`;
  if (ms < 120_000) return `${Math.round(ms / 1000)} s`;
  return ms < 7_200_000 ? `${Math.round(ms / 60_000)} min` : `${Math.round(ms / 3_600_000)} h`;
}

function joined(texts: readonly string[]): string {
  const [last = '', ...before] = texts.toReversed();
  if (before.length === 0) return last;
  if (before.length < 3) return `${before.toReversed().join(', ')} and ${last}`;
  return `${texts.slice(0, 2).join(', ')} and ${texts.length - 2} more are out`;
}
