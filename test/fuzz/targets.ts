/** Everything that reads what a stranger, a backend or whoever sets it up has written. */
import { answers } from './targets/answers.ts';
import { errorBodies, headerLists } from './targets/backend-answers.ts';
import { credentials, hold, localDoor } from './targets/callers.ts';
import { clientLimits } from './targets/client-limits.ts';
import { eventEnds, streamStart } from './targets/events.ts';
import { frontDoor } from './targets/front-door.ts';
import { jsonMembers } from './targets/json-members.ts';
import { multipart } from './targets/multipart.ts';
import { queries } from './targets/query.ts';
import { quotas } from './targets/quotas.ts';
import { request } from './targets/request.ts';
import { settings } from './targets/settings.ts';
import { claims, entraTokens, keyDocuments } from './targets/tokens.ts';
import { answersThroughTheBalancer, throughTheBalancer } from './targets/through.ts';
import { usageOfBodies, usageOfStreams } from './targets/usage.ts';
import { waits } from './targets/waits.ts';
import type { Target } from './target.ts';

export const targets: readonly Target[] = [
  frontDoor,
  queries,
  jsonMembers,
  request,
  multipart,
  credentials,
  entraTokens,
  claims,
  keyDocuments,
  localDoor,
  hold,
  headerLists,
  eventEnds,
  streamStart,
  answers,
  usageOfStreams,
  usageOfBodies,
  errorBodies,
  waits,
  quotas,
  settings,
  clientLimits,
  throughTheBalancer,
  answersThroughTheBalancer,
];
