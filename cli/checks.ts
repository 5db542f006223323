/** What one check found; `advice` says what to do unless all is well. */
export interface Check {
  readonly name: string;
  readonly state: 'ok' | 'warn' | 'fail';
  readonly message: string;
  readonly advice: string;
}

/** It works. */
export function ok(name: string, message: string): Check {
  return { name, state: 'ok', message, advice: '' };
}

/** It works so far, or only something optional does not. */
export function warn(name: string, message: string, advice: string): Check {
  return { name, state: 'warn', message, advice };
}

/** It does not work. */
export function fail(name: string, message: string, advice: string): Check {
  return { name, state: 'fail', message, advice };
}
