/**
 * `npm test`: the whole truth about a tree. Types, lint and format, then every test, two files at a time. The last
 * line is `N passed, N failed`, and the exit code says the same. `npm test -- src/log` runs the tests under a path
 * alone. When CI is set, a test that skips for want of a part counts as failed: there, every part is present.
 */

import path from 'node:path'
import { type Counts, lintAndFormat, root, testFiles, tests, total, types } from './steps.ts'

const chosen = process.argv.slice(2)
const counts: Counts[] = []
if (chosen.length === 0) counts.push(await types(), await lintAndFormat())

const files = testFiles(['src/**/*.test.ts', 'test/**/*.test.ts']).filter(
  (file) => chosen.length === 0 || chosen.some((part) => path.relative(root, file).includes(part)),
)
counts.push(await tests(files))

const { passed, failed, skipped } = total(counts)
for (const skip of skipped) console.log(`skipped: ${skip}`)
const missing = skipped.filter((skip) => !/: only on /.test(skip))
const strict = process.env['CI'] !== undefined && process.env['CI'] !== ''
const failures = failed + (strict ? missing.length : 0)
console.log(`${passed} passed, ${failures} failed`)
process.exitCode = failures === 0 && passed > 0 ? 0 : 1
