/** One token of a template: the text, or the name of the field that fills it. */
export type TemplateToken = { readonly literal: string } | { readonly field: string };

/** Splits `orders.{region}.placed`. Gives what is wrong with it instead, in words, when a brace is no whole token. */
export function parseTemplate(template: string): readonly TemplateToken[] | string {
  const tokens: TemplateToken[] = [];
  for (const [index, token] of template.split(".").entries()) {
    const field = /^\{([^{}]+)\}$/.exec(token)?.[1];
    if (field !== undefined) tokens.push({ field });
    else if (/[{}]/.test(token)) return `token ${index + 1} must be either text or one {field}`;
    else tokens.push({ literal: token });
  }
  return tokens;
}
