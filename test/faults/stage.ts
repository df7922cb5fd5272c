// Three simulated resources of one row's own, which do what the row says in the order in which they are asked, whichever
// order that is: whoever is asked first does the first, and so on.
import { startFleet, type Fleet } from '../../simulator/fleet.ts';
import type { SimulatedResource } from '../../simulator/server.ts';
import type { BackendRow, Trouble } from './row.ts';

export const BACKEND_KEY = 'backend-key';
export const MODEL = 'gpt-5.4-mini';
const COUNT = 3;

export interface Stage {
  /** A name for the row that is fit for addresses and model names: `row-12`. */
  readonly id: string;
  readonly row: BackendRow;
  readonly fleet: Fleet;
  /** How many requests were asked of backends. */
  readonly asked: () => number;
  close(): Promise<void>;
}

export async function setStage(row: BackendRow, index: number): Promise<Stage> {
  const fleet = await startFleet(
    Array.from({ length: COUNT }, (_, number) => ({
      name: `openai${number + 1}`,
      apiKey: BACKEND_KEY,
      deployments: { [MODEL]: { model: MODEL } },
    })),
  );
  // Who is down must be so before anybody is asked.
  if (row.order.includes('down')) await placed(row.order, fleet.resources);
  else direct(row.order, fleet.resources);
  return {
    id: `row-${index}`,
    row,
    fleet,
    asked: () => fleet.resources.reduce((sum, { calls }) => sum + calls.length, 0),
    close: () => fleet.close(),
  };
}

async function placed(order: readonly Trouble[], resources: readonly SimulatedResource[]): Promise<void> {
  for (const [index, resource] of resources.entries()) {
    const trouble = order[index];
    if (trouble === 'down') await resource.stopListening();
    else resource.always(trouble);
  }
}

/** A part is taken by whoever is asked next and has none yet, and is kept. */
function direct(order: readonly Trouble[], resources: readonly SimulatedResource[]): void {
  const free = new Set(resources);
  let next = 0;
  const offer = (): void => {
    const trouble = order[next];
    for (const resource of free) resource.always(trouble === 'down' ? undefined : trouble);
  };
  for (const resource of resources) {
    void resource.onceCalled().then(() => {
      free.delete(resource);
      next += 1;
      return offer();
    }); // never rejects
  }
  offer();
}
