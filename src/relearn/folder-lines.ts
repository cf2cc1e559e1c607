import type { Folder } from './account.ts';

/** Folders that are listed, of those that are taught and of those that aren't. */
const LISTED = 100;

/** Every mail folder with the number of its messages, for people. */
export function folderLines(folders: readonly Folder[]): string[] {
  const taught = folders.filter(({ passedOver }) => passedOver === null);
  const passed = folders.filter(({ passedOver }) => passedOver !== null);
  return [
    ...block('Folders:', taught),
    ...block('Folders passed over; to teach one after all, name it itself:', passed),
  ];
}

function block(title: string, folders: readonly Folder[]): string[] {
  if (folders.length === 0) return [];
  const lines = folders.slice(0, LISTED).map(({ folder, verdict, messages, passedOver }) => {
    const reason = passedOver === null ? '' : `: ${passedOver}`;
    return `  ${verdict.padEnd(5)}${String(messages).padStart(9)}  ${folder}${reason}`;
  });
  const rest = folders.slice(LISTED);
  const more = rest.reduce((sum, { messages }) => sum + messages, 0);
  return [
    '',
    title,
    ...lines,
    ...(rest.length === 0 ? [] : [`  and ${rest.length} more with ${more} messages`]),
  ];
}
