export { html } from 'htm/preact';
export { useEffect, useLayoutEffect, useMemo, useRef, useState } from 'preact/hooks';
export { computed, effect, signal, useComputed, useSignal } from '@preact/signals';
