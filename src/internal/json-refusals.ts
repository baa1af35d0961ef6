/** Why JSON can't hold a value without loss, and what to publish instead. Only for what it can't hold. */
export function jsonRefusal(value: unknown): string {
  switch (typeof value) {
    case "undefined":
      return "undefined, which JSON has no word for; publish null, or leave the property out";
    case "function":
      return "a function";
    case "symbol":
      return "a symbol";
    case "bigint":
      return "a bigint; publish String(value), and let the schema turn it back";
    case "number":
      return `${String(value)}, which JSON has no number for; publish null or a string`;
    case "string":
    case "boolean":
    case "object":
      return objectRefusal(Object(value) as object);
  }
}

function objectRefusal(value: object): string {
  if (value instanceof Date) return "a Date; publish its toISOString(), and let the schema turn it back";
  if (value instanceof Map) return "a Map; publish Object.fromEntries(map) or [...map]";
  if (value instanceof Set) return "a Set; publish [...set]";
  if (value instanceof RegExp) return "a RegExp; publish its source";
  if (value instanceof Error) return "an Error; publish what readers need of it: { name, message }";
  if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer || value instanceof SharedArrayBuffer)
    return "bytes inside other data; publish them as a whole, or as a base64 string";
  if (typeof (value as { readonly toJSON?: unknown }).toJSON === "function")
    return `${className(value)}; publish what its toJSON() gives`;
  return `${className(value)}; publish a plain object: { ...value }`;
}

function className(value: object): string {
  const name = (Object.getPrototypeOf(value) as { readonly constructor?: { readonly name?: unknown } } | null)
    ?.constructor?.name;
  return typeof name === "string" && /^[\w$]{1,60}$/.test(name) ? `an instance of ${name}` : "no plain object";
}
