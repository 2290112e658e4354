// Flags of kube-apiserver in a text: a command, a unit, arguments one a line.

/** kube-apiserver takes `--flag value` and `--flag=value`, with - and _ alike. */
export function flagValues(text: string, flag: string): string[] {
  const name = flag.replaceAll('-', '[-_]');
  const pattern = new RegExp(`(?<![\\w-])(?:--)?${name}(?:=|\\s+)["']?([^\\s"'\\\\]+)`, 'g');
  return [...text.matchAll(pattern)].map(([, value = '']) => value);
}
