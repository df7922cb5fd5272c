/** Which version this is. A test compares it with package.json, which is not everywhere beside the code that runs. */
export const VERSION = '0.1.0';
