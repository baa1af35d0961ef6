/** What is used of a socket. */
export interface Gathered {
  write(...args: readonly unknown[]): boolean;
  cork(): void;
  uncork(): void;
}

/**
 * What one turn writes goes to the system in one call. The client writes each message and each acknowledgement by itself, and such a
 * call costs more than all else that is done for one.
 */
export function gather(socket: Gathered | undefined): void {
  if (socket === undefined) return;
  const write = socket.write.bind(socket);
  let corked = false;
  socket.write = (...args) => {
    if (!corked) {
      corked = true;
      socket.cork();
      process.nextTick(() => {
        corked = false;
        socket.uncork();
      });
    }
    return write(...args);
  };
}
