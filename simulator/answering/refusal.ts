// The parameters a resource refuses though the deployment is there and admits the request.

import { isJsonObject } from './json.ts';
import type { Content } from '../model/model.ts';
import { streamOptionsBesideData, unknownStreamOptions } from '../kept/object-errors.ts';
import type { ErrorReply } from './wire.ts';

/** The first api-version that knows `stream_options`, by its date. */
const STREAM_OPTIONS_SINCE = '2024-09-01';

/** Undefined when nothing is wrong with the request; a v1 path has the api-version `v1`. */
export function refusalOf(content: Content, apiVersion: string): ErrorReply | undefined {
  if (content.kind !== 'text' || !isJsonObject(content.json['stream_options'])) {
    return undefined;
  }
  if (content.operation === 'responses') {
    return undefined;
  }
  if (/^\d{4}-\d{2}-\d{2}/.test(apiVersion) && apiVersion.slice(0, 10) < STREAM_OPTIONS_SINCE) {
    return unknownStreamOptions;
  }
  return content.json['data_sources'] === undefined ? undefined : streamOptionsBesideData;
}
