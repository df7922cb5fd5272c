/** What `azd provision` would deploy with these settings: main.parameters.json filled in as azd does it, and main.bicep with that. */
import { textOf } from '../../support/sources.ts';
import { bicepFile, expandBicep, typesOf, type Expansion } from './expand.ts';
import type { Type } from './syntax.ts';
import { isPrimitive } from './types.ts';
import type { Value, Values } from './values.ts';

const MAIN = 'infra/main.bicep';

export type Settings = Readonly<Record<string, string>>;

/** Azd's own, of an environment that nobody has set anything in. */
export const NEW_ENVIRONMENT: Settings = {
  AZURE_ENV_NAME: 'dev',
  AZURE_LOCATION: 'northeurope',
  AZURE_PRINCIPAL_ID: 'cccccccc-0000-4000-8000-000000000003',
  SERVICE_APP_RESOURCE_EXISTS: 'false',
};

export function provision(settings: Settings = {}): Expansion {
  return expandBicep(MAIN, parametersOf({ ...NEW_ENVIRONMENT, ...settings }));
}

function parametersOf(settings: Settings): Values {
  const { parameters }: { readonly parameters: Readonly<Record<string, { readonly value: string }>> } = JSON.parse(
    textOf('infra/main.parameters.json'),
  );
  const found: Record<string, Value> = {};
  for (const [name, { value }] of Object.entries(parameters)) {
    const declared = bicepFile(MAIN).declarations.find((each) => each.kind === 'param' && each.name === name);
    if (declared?.kind !== 'param') throw new Error(`main.parameters.json: there is no parameter ${name}`);
    const text = substituted(value, settings);
    const parameter = text === undefined ? undefined : coerced(text, declared.type);
    if (parameter !== undefined) found[name] = parameter;
  }
  return found;
}

/** Undefined: the parameter is left out, and Bicep's default holds. */
function substituted(value: string, settings: Settings): string | undefined {
  const [whole, variable, fallback] = /^\$\{(\w+)(?:=([^}]*))?\}$/.exec(value) ?? [];
  if (whole === undefined || variable === undefined) throw new Error(`main.parameters.json: ${value}`);
  const set = settings[variable];
  return fallback === undefined || (set !== undefined && set !== '') ? set : fallback;
}

function coerced(text: string, type: Type): Value | undefined {
  if (type.kind === 'list') return JSON.parse(text);
  if (type.kind !== 'named') return text;
  if (!isPrimitive(type.name)) return coerced(text, typesOf(MAIN)(type.name).type);
  // What is no number or no boolean is left out without a word.
  if (type.name === 'int') return /^-?\d+$/.test(text) ? Number(text) : undefined;
  if (type.name === 'bool') return /^(?:true|false)$/i.test(text) ? text.toLowerCase() === 'true' : undefined;
  return text;
}
