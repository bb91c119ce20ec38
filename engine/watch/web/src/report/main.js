// The report's bundle: decodes the payload that the Python side put beside it and draws it. Content: src/report/*.js.
import '../style/tokens.css';
import '../style/panels.css';
import '../style/tables.css';
import '../style/charts.css';
import './report.css';

/** The document of #data: base64 of gzipped JSON. */
export async function payload() {
  const bytes = Uint8Array.from(atob(document.getElementById('data').textContent.trim()), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('gzip'));
  return JSON.parse(await new Response(stream).text());
}

const dark = matchMedia('(prefers-color-scheme: dark)');
const choose = () => {
  document.documentElement.dataset.theme = dark.matches ? 'dark' : 'light';
};
dark.addEventListener('change', choose);
choose();

payload()
  .then((report) => {
    document.title = report.title ?? document.title;
    const box = document.getElementById('report');
    box.textContent = '';
    const head = document.createElement('h1');
    head.textContent = report.title ?? 'Report';
    box.append(head);
  })
  .catch((error) => {
    document.getElementById('report').textContent =
      `The report's data cannot be read: ${error.message}. Make it again with \`report\`.`;
  });
