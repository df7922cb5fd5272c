/**
 * JSON in ASCII alone. Its own escaping leaves what is beyond as it is: controls and separators that end lines or drive
 * terminals, and marks that turn the order of letters. A reader of JSON gets them back; whoever looks at the text does not.
 */
export function asciiJson(value: unknown, indent?: number): string {
  return JSON.stringify(value, undefined, indent).replaceAll(/[\x7f-\uffff]/g, escaped);
}

function escaped(unit: string): string {
  return `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`;
}
