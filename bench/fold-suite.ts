/**
 * Bulk folds: the rate of a fold of lake files against the plain DuckDB query over the same files, and the rate of
 * catching up on events that are still in the hot log. No state of its own.
 */

import type { BenchContext, Measurement, Suite } from './measurement.ts'

export const foldSuite: Suite = { names: ['bulk-fold-ratio', 'hot-catch-up'], run: measureFolds }

async function* measureFolds(context: BenchContext): AsyncIterable<Measurement> {
  context.say('not measured yet')
}
