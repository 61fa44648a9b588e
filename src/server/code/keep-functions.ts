/** Puts the code of a project's functions into the store and tries them, before anything is made with them. No state. */

import { join } from 'node:path'
import { plannedFunction } from '../../define/function-def.ts'
import type { ProjectDef } from '../../define/types.ts'
import { functionFaults } from '../../engine/functions/check-functions.ts'
import { RefoldError } from '../../model/errors.ts'
import { keepCode } from './keep-code.ts'

/** What is wrong with them. Throws LOGIC_DIFFERS where the project's files are not those that it was loaded with. */
export async function keepFunctions(project: ProjectDef): Promise<readonly RefoldError[]> {
  const { functions = [], dataDir, root } = project
  const folder = join(dataDir, 'code')
  for (const { code } of functions) await keepCode(folder, root, code)
  const faults = await functionFaults({ folder, root }, functions.map(plannedFunction))
  return faults.map(({ name, code, message }) => {
    const place = functions.find((def) => def.name === name)?.place
    return new RefoldError(code, `function "${name}": ${message}`, place === undefined ? {} : { place })
  })
}
