// When a simulated resource got each request: its log holds what came, not when.
import type { Call, SimulatedResource } from '../../simulator/server.ts';
import type { SeenCall } from './accounting.ts';
import { clock } from './clock.ts';
import { idIn } from './load.ts';

export class CallRecord {
  private readonly arrived: { readonly call: Call; readonly atMs: number }[] = [];
  private readonly resource: SimulatedResource;
  private isOver = false;

  /** Begins with an empty log. */
  constructor(resource: SimulatedResource) {
    this.resource = resource;
    resource.clearCalls();
    this.watch();
  }

  /** In the order of arrival. The record ends here. */
  seen(): SeenCall[] {
    this.note();
    this.isOver = true;
    if (this.resource.calls.length !== this.arrived.length) throw new Error('the log of calls was too short');
    return this.arrived.flatMap(({ call, atMs }) => {
      const id = idIn(call.body);
      return id === undefined ? [] : [{ id, atMs }];
    });
  }

  /** Ends with the resource: the next call then never comes. */
  private watch(): void {
    void this.resource.onceCalled().then(() => {
      // onceCalled never rejects
      if (this.isOver) return;
      this.note();
      this.watch();
    });
  }

  /** Also those that came in the same moment, of which onceCalled tells only the first. */
  private note(): void {
    for (const call of this.resource.calls.slice(this.arrived.length)) this.arrived.push({ call, atMs: clock() });
  }
}
