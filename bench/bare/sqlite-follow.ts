import { watch } from "node:fs";
import { dirname } from "node:path";
import type { DatabaseSync } from "node:sqlite";

/** Calls back for each new row. The watch fires before a commit can be seen: it looks again 1 ms later, and each 20 ms. */
export function follow(
  db: DatabaseSync,
  path: string,
  table: string,
  found: (position: number, body: Uint8Array) => void,
): () => void {
  const read = db.prepare(`SELECT position, body FROM ${table} WHERE position > ? ORDER BY position LIMIT 256`);
  let position = 0;
  const look = (): boolean => {
    const rows = read.all(position) as unknown as readonly { readonly position: number; readonly body: Uint8Array }[];
    position = rows.at(-1)?.position ?? position;
    for (const row of rows) found(row.position, row.body);
    return rows.length > 0;
  };
  let again: NodeJS.Timeout | undefined;
  const watcher = watch(dirname(path), () => {
    if (!look()) again ??= setTimeout(() => ((again = undefined), look()), 1);
  });
  const timer = setInterval(look, 20);
  return () => {
    watcher.close();
    clearInterval(timer);
    clearTimeout(again);
  };
}
