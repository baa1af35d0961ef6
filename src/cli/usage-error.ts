/** The command line was used wrongly: exit code 2. The message is a sentence that says what to do. */
export class UsageError extends Error {}
