// Prompts that begin alike: as many different beginnings as a busy application has system prompts and documents, of 1,100
// to 2,400 tokens, the n-th of them asked for 1/n as often as the first. Only these have a text, which the caches read.
import type { Prompt } from '../../simulator/model/prompt.ts';
import { between, randomOf } from '../random.ts';

const HOW_MANY = 60;

const popularities = Array.from({ length: HOW_MANY }, (_, index) => 1 / (index + 1));
const tokens = popularities.map((_, index) => between(1100, 2400, randomOf(7, index)));

export const PREFIXES = {
  popularities,
  totalPopularity: popularities.reduce((sum, popularity) => sum + popularity, 0),
  tokens,
} as const;

const texts = tokens.map((length, index) => words(`prefix ${index} `, length * 4));

/** The prompt of that many tokens with this beginning; the rest is its own. */
export function sharedPrompt(prefix: number, promptTokens: number, request: number): Prompt {
  const beginning = texts[prefix] ?? '';
  const content = words(`${beginning}request ${request} `, promptTokens * 4);
  return {
    body: { messages: [{ role: 'user', content }] },
    before: [],
    characters: content.length,
    lastUserText: content,
    maxTokens: undefined,
    bestOf: 1,
  };
}

function words(beginning: string, characters: number): string {
  return beginning.padEnd(characters, beginning.slice(-16)).slice(0, characters);
}
