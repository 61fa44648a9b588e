/**
 * Puts the code of a project's folds into the store and tries them, before anything runs them: the clock and chance in
 * them, and a `merge` that does not fit, are found here. No state.
 */

import { join } from 'node:path'
import type { NewVersion } from '../../catalog/versions.ts'
import type { ProjectDef } from '../../define/types.ts'
import { foldFault } from '../../engine/fold/check-fold.ts'
import { RefoldError } from '../../model/errors.ts'
import { plannedStream } from '../../plan/planned-stream.ts'
import { must } from '../../std/assert.ts'
import { keepCode } from './keep-code.ts'

/** What is wrong with them. Throws LOGIC_DIFFERS where the files are not those that the project was loaded with. */
export async function keepFolds(
  { views, streams, dataDir, root }: ProjectDef,
  planned: readonly NewVersion[],
): Promise<readonly RefoldError[]> {
  const mistakes: RefoldError[] = []
  const folder = join(dataDir, 'code')
  for (const { name, fold, sqlPlace: place } of views) {
    if (fold === undefined) continue
    await keepCode(folder, root, fold.code)
    const version = must(
      planned.find(({ view }) => view === name),
      `view "${name}" is planned`,
    )
    const running = must(
      streams.find((stream) => stream.name === fold.stream),
      `stream "${fold.stream}" is there`,
    )
    const fault = await foldFault(version, plannedStream(version.plan, running), { folder, root })
    if (fault === undefined) continue
    const { code, message } = fault
    mistakes.push(new RefoldError(code, `fold "${name}": ${message}`, { place }))
  }
  return mistakes
}
