// Whether a request may pass: the key in `api-key` or as a bearer, or the token as a bearer, and never two credentials.

import type { IncomingHttpHeaders } from 'node:http';
import type { ResourceOptions } from './options.ts';
import { accessDenied, twoCredentials } from './wire.ts';
import type { ErrorReply } from './wire.ts';

const BEARER = /^bearer +/i;

export function checkCredentials(headers: IncomingHttpHeaders, options: ResourceOptions): ErrorReply | undefined {
  const key = headers['api-key'];
  const { authorization } = headers;
  if (key !== undefined && authorization !== undefined) {
    return twoCredentials;
  }
  const { apiKey, bearerToken } = options;
  if (apiKey === undefined && bearerToken === undefined) {
    return undefined;
  }
  if (key !== undefined) {
    return apiKey !== undefined && key === apiKey ? undefined : accessDenied;
  }
  if (authorization === undefined || !BEARER.test(authorization)) {
    return accessDenied;
  }
  const bearer = authorization.replace(BEARER, '');
  return bearer === apiKey || bearer === bearerToken ? undefined : accessDenied;
}
