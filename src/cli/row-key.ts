/**
 * A row's key as people write it on the command line: `column=value`, or the column alone for NULL. No state.
 *
 * The query is put together here and not by the client, because a name without an equals sign means NULL, and a URL's
 * own parameters would give it one.
 */

import { RefoldError } from '../model/errors.ts'

/** A path with a query of plain parameters and of the key's conditions. */
export function pathWithKey(
  path: string,
  parameters: Readonly<Record<string, string | undefined>>,
  option: string,
  conditions: readonly string[],
): string {
  const plain = Object.entries(parameters).flatMap(([name, value]) =>
    value === undefined ? [] : [`${name}=${encodeURIComponent(value)}`],
  )
  const query = [...plain, ...conditions.map((condition) => keyParameter(option, condition))].join('&')
  return query === '' ? path : `${path}?${query}`
}

function keyParameter(option: string, condition: string): string {
  const at = condition.indexOf('=')
  if (condition === '' || at === 0) {
    throw new RefoldError('CLI_USAGE', `${option} "${condition}" is not of the form column=value`, {
      hint: 'Write the column alone for NULL.',
    })
  }
  if (at < 0) return `key.${encodeURIComponent(condition)}`
  return `key.${encodeURIComponent(condition.slice(0, at))}=${encodeURIComponent(condition.slice(at + 1))}`
}
