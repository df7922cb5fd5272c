// The parameters a resource refuses though the deployment is there and admits the request.

import { isJsonObject } from './json.ts';
import type { Content } from '../model/model.ts';
import type { DeploymentSpec } from '../options.ts';
import { streamOptionsBesideData, unknownStreamOptions } from '../kept/object-errors.ts';
import type { ErrorReply } from './wire.ts';

/** The first api-version that knows `stream_options`, by its date. */
const STREAM_OPTIONS_SINCE = '2024-09-01';

/** Undefined when nothing is wrong with the request; a v1 path has the api-version `v1`. */
export function refusalOf(
  content: Content,
  apiVersion: string,
  { hasStreamOptions = true }: DeploymentSpec,
): ErrorReply | undefined {
  if (content.kind !== 'text' || !isJsonObject(content.json['stream_options'])) {
    return undefined;
  }
  if (content.operation === 'responses') {
    return undefined;
  }
  const isOld = /^\d{4}-\d{2}-\d{2}/.test(apiVersion) && apiVersion.slice(0, 10) < STREAM_OPTIONS_SINCE;
  if (isOld || !hasStreamOptions) {
    return unknownStreamOptions;
  }
  return content.json['data_sources'] === undefined ? undefined : streamOptionsBesideData;
}
