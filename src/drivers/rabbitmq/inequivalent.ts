export interface Inequivalent {
  readonly kind: "queue" | "exchange";
  readonly name: string;
  readonly argument: string;
  readonly wanted: string;
  readonly found: string;
}

const text =
  /inequivalent arg '([^']+)' for (queue|exchange) '(.*?)' in vhost '.*?': received (.+?) but current is (.+)$/;
/** `'7'`, or `the value '7' of type 'signedint'`, or `none`. */
const value = (part: string): string => /'(.*?)'/.exec(part)?.[1] ?? part;

/** Which argument disagrees with what is there already: the server says it in words alone (406). */
export function inequivalent(message: string): Inequivalent | undefined {
  const [, argument, kind, name, wanted, found] = text.exec(message.trim().replace(/"$/, "")) ?? [];
  if (argument === undefined || name === undefined || wanted === undefined || found === undefined) return undefined;
  return {
    kind: kind === "exchange" ? "exchange" : "queue",
    name,
    argument,
    wanted: value(wanted),
    found: value(found),
  };
}
