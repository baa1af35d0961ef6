/** As metadata and coordinators have it: a text of nine characters, and a number. */
function addressBytes(port: number): Buffer {
  const number = Buffer.alloc(4);
  number.writeInt32BE(port);
  return Buffer.concat([Buffer.from("127.0.0.1"), number]);
}

/** The brokers tell where they are: that is in front of the proxy, and all connections would pass it by. */
export function inFrontOfKafka(answer: Uint8Array, url: string, proxyPort: number): Uint8Array {
  const reply = Buffer.from(answer.buffer, answer.byteOffset, answer.byteLength);
  const own = addressBytes(Number(new URL(url.replace(/^kafka/, "http")).port));
  for (let at = reply.indexOf(own); at >= 0; at = reply.indexOf(own, at + own.length))
    addressBytes(proxyPort).copy(reply, at);
  return reply;
}
