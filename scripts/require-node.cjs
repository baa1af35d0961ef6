// Plain old JavaScript: it must run, and explain itself, under any Node.
"use strict";

var needed = [22, 22];

/** A sentence that helps when this Node is too old, else undefined. */
function refusal(version) {
  var parts = version.replace(/^v/, "").split(".").map(Number);
  var newEnough = parts[0] > needed[0] || (parts[0] === needed[0] && parts[1] >= needed[1]);
  if (newEnough) return undefined;
  return (
    "Omnibus needs Node " +
    needed.join(".") +
    " or newer and this is " +
    version +
    ". " +
    "`npm ci` puts Node 24 into node_modules for every `npm run`: run it first, without --ignore-scripts " +
    "(or install a newer Node), then try again."
  );
}

module.exports = { refusal: refusal };

if (require.main === module) {
  var sentence = refusal(process.version);
  if (sentence) {
    console.error(sentence);
    process.exit(1);
  }
}
