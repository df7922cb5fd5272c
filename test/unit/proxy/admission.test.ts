import assert from 'node:assert/strict';
import * as fc from 'fast-check';
import { createAdmission } from '../../../app/src/proxy/admission.ts';

function inTime(): boolean {
  return false;
}

describe('admission', () => {
  it('lets nobody in while it is behind, says so rather than that it is full, and asks for everybody who comes', () => {
    const answers = [false, true, false, true];
    const isBehind = (): boolean => answers.shift() ?? assert.fail('asked too often');
    const admission = createAdmission({ mostRequests: 1, mostBufferedBytes: 10, isBehind });
    const comings = Array.from({ length: 4 }, () => admission.enter());
    assert.deepEqual(comings, [undefined, 'behind', 'full', 'behind']);
    assert.deepEqual([admission.inFlight, answers.length], [1, 0]);
  });

  it('lets as many in as it may hold, and the next when one has left', () => {
    const admission = createAdmission({ mostRequests: 2, mostBufferedBytes: 10, isBehind: inTime });
    assert.deepEqual([admission.enter(), admission.enter(), admission.enter()], [undefined, undefined, 'full']);
    assert.equal(admission.inFlight, 2);
    admission.leave();
    assert.equal(admission.inFlight, 1);
    assert.deepEqual([admission.enter(), admission.enter()], [undefined, 'full']);
  });

  it('holds as many bytes as it may, to the last one', () => {
    const { bodies } = createAdmission({ mostRequests: 1, mostBufferedBytes: 10, isBehind: inTime });
    assert.deepEqual(
      [bodies.take(7), bodies.take(4), bodies.take(3), bodies.take(1), bodies.take(0)],
      [true, false, true, false, true],
    );
    assert.equal(bodies.taken, 10);
    bodies.give(7);
    assert.equal(bodies.taken, 3);
  });

  it('counts exactly, whatever comes and goes', () => {
    fc.assert(
      fc.property(fc.array(fc.boolean()), fc.integer({ min: 1, max: 5 }), (comings, most) => {
        const admission = createAdmission({ mostRequests: most, mostBufferedBytes: 0, isBehind: inTime });
        let inside = 0;
        for (const isComing of comings) {
          if (isComing) {
            assert.equal(admission.enter(), inside < most ? undefined : 'full');
            inside = Math.min(most, inside + 1);
          } else if (inside > 0) {
            admission.leave();
            inside -= 1;
          }
          assert.equal(admission.inFlight, inside);
        }
      }),
    );
  });
});
