const skipLine = /^skips tests on \w+: (\w+(?:@[\w.]+)?)/;

/**
 * For `onConsoleLog` of vitest, which sees what all test files say: that the tests of a broker are skipped is said once for the
 * whole run, not again by each file and for each variant.
 */
export function skipsOnce(): (log: string) => boolean | undefined {
  const said = new Set<string>();
  return (log) => {
    const what = skipLine.exec(log)?.[1];
    if (what === undefined) return undefined;
    const isNew = !said.has(what);
    said.add(what);
    return isNew;
  };
}
