/** Puts the code of a project's folds into the store, before anything runs them. No state. */

import { join } from 'node:path'
import type { ProjectDef } from '../../define/types.ts'
import { keepCode } from './keep-code.ts'

/** Throws LOGIC_DIFFERS where the project's files are not those that it was loaded with. */
export async function keepFolds({ views, dataDir, root }: ProjectDef): Promise<void> {
  for (const { fold } of views) if (fold !== undefined) await keepCode(join(dataDir, 'code'), root, fold.code)
}
