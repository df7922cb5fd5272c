// Clocks that jump and a process that stands still for a while.
import { setTimeout as pause } from 'node:timers/promises';
import type { Play } from '../row.ts';
import { askInTurn, askMany, want, wantAll } from './crowd.ts';

const group = 'clock';
const DAY_MS = 86_400_000;
const THROTTLE_MS = 50_000;
const STALL_MS = 2000;

export const clockPlays: readonly Play[] = [
  ...(
    [
      ['a day ahead', DAY_MS],
      ['a day back', -DAY_MS],
    ] as const
  ).map(([where, byMs]): Play => ({
    kind: 'play',
    name: `the clock is set ${where} while a backend rests`,
    group,
    async act(house) {
      let off = 0;
      const running = await house.balancer({ wallClockMs: () => Date.now() + off });
      const [first] = running.resources;
      first?.throttle(THROTTLE_MS);
      wantAll(await askInTurn(running, 2));
      off = byMs;
      const saw = wantAll(await askInTurn(running, 20));
      const asked = first?.calls.length;
      want(asked === 1, `${saw}; the throttled one was asked ${asked} times`, 'that it is left alone');
      return `${saw}; the throttled one was left alone`;
    },
  })),
  {
    kind: 'play',
    name: 'the machine sleeps for an hour while a backend rests',
    group,
    async act(house) {
      let off = 0;
      const running = await house.balancer({ clock: () => performance.now() + off });
      const [first] = running.resources;
      first?.script({ kind: 'throttle', retryAfterMs: THROTTLE_MS });
      wantAll(await askInTurn(running, 2));
      off = DAY_MS / 24;
      const saw = wantAll(await askInTurn(running, 20));
      want((first?.calls.length ?? 0) > 1, `${saw}, none by it`, 'that it is asked again');
      return `${saw}, also by the one that rested`;
    },
  },
  ...(['whole', 'background'] as const).map((form): Play => ({
    kind: 'play',
    name: `the process stands still for 2 s with ${form === 'whole' ? 'answers' : 'creations'} on their way, longer than a backend may be silent`,
    group,
    async act(house) {
      const fleet = await house.fleet(3);
      const started = await house.process({ ...fleet.env, HTTP_TIMEOUT_SECONDS: '1.5', MAX_HOLD_SECONDS: '0' });
      const door = { url: started.url };
      wantAll(await askMany(door, 20, form));
      for (const resource of fleet.resources) {
        resource.clearCalls();
        resource.always({ kind: 'slow-first-byte', ms: 500 });
      }
      const asking = askMany(door, 20, form);
      await Promise.all(fleet.resources.map((resource) => resource.onceCalled()));
      while (fleet.resources.reduce((sum, { calls }) => sum + calls.length, 0) < 20) await pause(5);
      started.signal('SIGSTOP');
      await pause(STALL_MS);
      started.signal('SIGCONT');
      const saw = wantAll(await asking);
      const asked = fleet.resources.reduce((sum, { calls }) => sum + calls.length, 0);
      want(asked === 20, `${saw}; backends were asked ${asked} times`, 'that nobody is asked again for what is there');
      return saw;
    },
  })),
];
