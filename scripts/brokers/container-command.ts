import type { BrokerKind, ServerPlan } from "./broker-kind.ts";

const quoted = (word: string): string => `'${word.replaceAll("'", `'\\''`)}'`;
const line = (words: readonly string[]): string => words.map(quoted).join(" ");

/**
 * What a container runs. One of a broker that refuses to be root, and has to be prepared, begins as root, gives the copied files
 * to the broker's user, and becomes the broker as that user: so signals reach it.
 */
export function containerCommand(
  kind: Pick<BrokerKind, "executable" | "unprivileged">,
  { args, prepare }: ServerPlan,
  folder: string,
): { readonly entrypoint: string; readonly args: readonly string[] } {
  const [user] = kind.unprivileged ?? [];
  if (user === undefined) return { entrypoint: kind.executable, args };
  const as = (shell: string): string => `su ${user} -s /bin/sh -c ${quoted(shell)}`;
  const steps = [
    `chown -R ${user} ${quoted(folder)}`,
    ...(prepare === undefined
      ? []
      : [`{ [ -e ${quoted(`${folder}/1/${prepare.makes}`)} ] || ${as(line(prepare.command))}; }`]),
    `exec ${as(`exec ${line([kind.executable, ...args])}`)}`,
  ];
  return { entrypoint: "/bin/sh", args: ["-c", steps.join(" && ")] };
}
