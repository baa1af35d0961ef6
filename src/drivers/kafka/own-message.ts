import type { AnswerParser, KafkaApi } from "./client.ts";

/** A kind of request whose bytes, or whose answer, are not made or read by the client. */
export function ownMessage<Args extends readonly unknown[], Answer>(
  { key, version }: { readonly key: number; readonly version: number },
  request: (...args: Args) => unknown,
  parse: AnswerParser,
): { readonly api: KafkaApi<Args, Answer> } {
  return {
    api: {
      key,
      version,
      async: (connection, ...args) =>
        new Promise((resolve, reject) => {
          connection.send(
            key,
            version,
            () => request(...args),
            parse,
            true,
            true,
            (error, answer) => {
              if (error === null || error === undefined) resolve(answer as Answer);
              else reject(error as Error);
            },
          );
        }),
    },
  };
}
