/**
 * Checks a project against the data folder that it is to run on, and plans its views: all mistakes of all parts at
 * once, before anything is written but copies of code, which nobody minds. No state.
 */

import type { Catalog } from '../catalog/open-catalog.ts'
import type { NewVersion } from '../catalog/versions.ts'
import type { ProjectDef } from '../define/types.ts'
import type { RefoldError } from '../model/errors.ts'
import { checkMistakes } from './checks/check-mistakes.ts'
import { keepFolds } from './code/keep-folds.ts'
import { keepFunctions } from './code/keep-functions.ts'
import { planViews } from './plan-views.ts'
import { streamMistakes } from './stream-changes.ts'

/** All mistakes that the data folder and the planner find in a project, thrown together. */
export class ProjectMistakes extends Error {
  override readonly name = 'ProjectMistakes'
  readonly mistakes: readonly RefoldError[]

  constructor(mistakes: readonly RefoldError[]) {
    super(mistakes.map((mistake) => mistake.message).join('\n'))
    this.mistakes = mistakes
  }
}

/** Plans the views; throws ProjectMistakes, those of the streams included. */
export async function checkedViews(project: ProjectDef, catalog: Catalog): Promise<readonly NewVersion[]> {
  const planned = await planViews(project)
  const mistakes = [
    ...streamMistakes(catalog, project),
    ...(planned.ok ? await checkMistakes(project, planned.views) : planned.mistakes),
  ]
  if (mistakes.length > 0 || !planned.ok) throw new ProjectMistakes(mistakes)
  const faults = [...(await keepFolds(project, planned.views)), ...(await keepFunctions(project))]
  if (faults.length > 0) throw new ProjectMistakes(faults)
  return planned.views
}
