import { once } from "node:events";
import { connect } from "node:net";

/** One command to a Redis without a password, over a connection of its own; the reply as Redis writes it. */
export async function redisCommand(port: number, ...words: readonly string[]): Promise<string> {
  const socket = connect({ port, host: "127.0.0.1" });
  socket.setTimeout(5_000, () => socket.destroy(new Error(`Redis on port ${port} did not answer ${words[0]}`)));
  let reply = "";
  socket.setEncoding("utf8").on("data", (text: string) => {
    reply += text;
    if (isWhole(reply)) socket.end();
  });
  const encoded = words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`);
  socket.write(`*${words.length}\r\n${encoded.join("")}`);
  await once(socket, "close");
  if (reply.startsWith("-")) throw new Error(`Redis on port ${port}: ${words.join(" ")}: ${reply.trim()}`);
  return reply;
}

const isWhole = (reply: string): boolean => endOf(Buffer.from(reply), 0) !== undefined;

/** Where the value that begins at `from` ends: a line, a text of the length that it begins with, or a list of values. */
function endOf(reply: Buffer, from: number): number | undefined {
  const line = reply.indexOf("\r\n", from);
  if (line < 0) return undefined;
  const kind = String.fromCharCode(reply[from]!);
  const size = kind === "$" || kind === "*" ? Number(reply.toString("utf8", from + 1, line)) : -1; // -1 also is nothing's
  let end: number | undefined = line + 2;
  if (kind === "$") return size < 0 ? end : end + size + 2 <= reply.length ? end + size + 2 : undefined;
  for (let left = size; left > 0 && end !== undefined; left -= 1) end = endOf(reply, end);
  return end;
}
