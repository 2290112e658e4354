// What every rule of a decoded file is made of. Faults are texts, for people.

export type Fields = Readonly<Record<string, unknown>>;

export function fault(is: boolean, text: string): string[] {
  return is ? [text] : [];
}

export function unknown(rest: object, at: string): string[] {
  return Object.keys(rest).map((name) => `${at}${name}: unknown field`);
}
