import type { Act } from './fault-server.ts';

/**
 * What nginx says by itself, as 1.22.1 was heard to say it (limit_req, auth_basic, deny,
 * client_max_body_size, ssl_verify_client, http: to a TLS port).
 * @param status status and reason of the status line
 * @param says what stands on the page beside the status, if anything
 */
export function nginxPage(status: string, says = '', headers: readonly string[] = []): Act {
  // 401 has one name in the status line and another one on the page.
  const title = status.replace('401 Unauthorized', '401 Authorization Required');
  const lines = [
    '<html>',
    `<head><title>${says === '' ? title : `${title.slice(0, 3)} ${says}`}</title></head>`,
    '<body>',
    `<center><h1>${title}</h1></center>`,
    ...(says === '' ? [] : [`<center>${says}</center>`]),
    '<hr><center>nginx/1.22.1</center>',
    '</body>',
    '</html>',
    '',
  ];
  const page = lines.join('\r\n');
  const head = [
    `HTTP/1.1 ${status}`,
    'Server: nginx/1.22.1',
    'Content-Type: text/html',
    `Content-Length: ${page.length}`,
    'Connection: close',
    ...headers,
  ];
  return { pieces: [`${head.join('\r\n')}\r\n\r\n${page}`], then: 'end' };
}

/** What rspamd says, as nginx passes it on: with its own name in `Server`. */
export function passedOn({ pieces, then }: Act): Act {
  const bytes = [...pieces].map(String).join('');
  return { pieces: [bytes.replace('Server: rspamd/3.4', 'Server: nginx/1.22.1')], then };
}
