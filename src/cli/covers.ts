/** Whether every topic that the pattern `inner` matches is matched by the pattern `outer` too. */
export function covers(outer: string, inner: string): boolean {
  const has = outer.split(".");
  const asked = inner.split(".");
  for (const [index, token] of has.entries()) {
    if (token === ">") return asked.length > index;
    const other = asked[index];
    if (other === undefined || other === ">" || (token !== "*" && token !== other)) return false;
  }
  return has.length === asked.length;
}
