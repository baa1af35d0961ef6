/** One request in flight; what comes meanwhile goes with the next. */
export function together(send: (bodies: readonly string[]) => Promise<unknown>): (body: string) => void {
  let waiting: string[] = [];
  let sending = false;
  const next = async (): Promise<void> => {
    sending = true;
    while (waiting.length > 0) {
      const bodies = waiting;
      waiting = [];
      await send(bodies);
    }
    sending = false;
  };
  return (body) => {
    waiting.push(body);
    if (!sending) queueMicrotask(() => void (sending || next()));
  };
}
