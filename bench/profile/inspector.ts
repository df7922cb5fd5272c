// The few words of the inspector's protocol that a CPU profile needs, spoken over Node's own WebSocket.

/** As V8 gives it: https://chromedevtools.github.io/devtools-protocol/v8/Profiler/#type-Profile */
export interface Profile {
  readonly nodes: readonly ProfileNode[];
  /** Ids of nodes, one a sample. */
  readonly samples: readonly number[];
  /** Microseconds before each sample. */
  readonly timeDeltas: readonly number[];
}

export interface ProfileNode {
  readonly id: number;
  readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number };
  readonly children?: readonly number[];
}

export interface Inspector {
  /** The profile of all that happens during `work`. */
  profile(work: () => Promise<unknown>): Promise<Profile>;
  close(): void;
}

const samplingIntervalUs = 500;

export async function connectInspector(port: number): Promise<Inspector> {
  const listed: unknown = await (await fetch(`http://127.0.0.1:${port}/json/list`)).json();
  const url = /"webSocketDebuggerUrl":"([^"]+)"/.exec(JSON.stringify(listed))?.[1];
  if (url === undefined) throw new Error('the balancer has no inspector');
  const socket = new WebSocket(url);
  const waiting = new Map<number, PromiseWithResolvers<unknown>>();
  let asked = 0;
  socket.addEventListener('message', ({ data }) => {
    const answer: unknown = JSON.parse(String(data));
    if (typeof answer !== 'object' || answer === null || !('id' in answer)) return;
    waiting.get(Number(answer.id))?.resolve('result' in answer ? answer.result : undefined);
    waiting.delete(Number(answer.id));
  });
  await new Promise((resolve, reject) => {
    socket.addEventListener('open', resolve);
    socket.addEventListener('error', () => reject(new Error('the inspector does not answer')));
  });

  function ask(method: string, params: object = {}): Promise<unknown> {
    asked += 1;
    const answer = Promise.withResolvers<unknown>();
    waiting.set(asked, answer);
    socket.send(JSON.stringify({ id: asked, method, params }));
    return answer.promise;
  }

  await ask('Profiler.enable');
  await ask('Profiler.setSamplingInterval', { interval: samplingIntervalUs });
  return {
    profile: async (work) => {
      await ask('Profiler.start');
      await work();
      const stopped = await ask('Profiler.stop');
      if (!hasProfile(stopped)) throw new Error('the inspector gave no profile');
      return stopped.profile;
    },
    close: () => socket.close(),
  };
}

function hasProfile(answer: unknown): answer is { readonly profile: Profile } {
  return typeof answer === 'object' && answer !== null && 'profile' in answer;
}
