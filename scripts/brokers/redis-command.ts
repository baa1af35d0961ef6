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

/** A line, or a text of the length that it begins with; no more is asked for here. */
function isWhole(reply: string): boolean {
  const end = reply.indexOf("\r\n");
  if (end < 0) return false;
  const length = reply.startsWith("$") ? Number(reply.slice(1, end)) : -1; // -1 also is nothing's
  return length < 0 || Buffer.byteLength(reply) >= end + 2 + length + 2;
}
