/**
 * `npm run check`: what can be known in seconds, for use before every commit. Types, lint, format, and the tidy
 * tests (layering, headers, lengths, names, dependencies, documents).
 */

import { lintAndFormat, testFiles, tests, total, types } from './steps.ts'

const fast = testFiles(['test/tidy*.test.ts', 'test/errors.test.ts'])
const { passed, failed } = total([...(await Promise.all([types(), lintAndFormat()])), await tests(fast)])
console.log(`${passed} passed, ${failed} failed`)
process.exitCode = failed === 0 ? 0 : 1
