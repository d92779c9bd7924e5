using System;
using System.IO;
using System.Reflection;
using System.Runtime.InteropServices;
using System.Text;

[assembly: System.Runtime.CompilerServices.InternalsVisibleTo("InlayTests")]

namespace Inlay
{
    /// <summary>The native library: where it is found, and whether it is the one that this assembly was made for.</summary>
    public static class Library
    {
        internal const string Name = "inlay";

        private static bool ready;

        /// <summary>The version of the library that runs.</summary>
        public static Version Version
        {
            get
            {
                uint version = Native.inlay_version();
                return new Version((int)(version >> 16), (int)(version >> 8 & 0xff), (int)(version & 0xff));
            }
        }

        /// <summary>
        /// Takes the library from this file. Only before anything else of this assembly is used; without it the library
        /// is where the system's loader looks: beside the program, in Unity's plugin folders, in the loader's own.
        /// </summary>
        public static void Load(string path)
        {
            path = Path.GetFullPath(path);
            if (!File.Exists(path)) throw new FileNotFoundException("no native library there", path);
            Type resolverOwner = Type.GetType("System.Runtime.InteropServices.NativeLibrary");
            if (Type.GetType("Mono.Runtime") != null) mono_dllmap_insert(IntPtr.Zero, Name, null, path, null);
            else if (resolverOwner != null) Resolve(resolverOwner, path);
            else if (LoadLibraryW(path) == IntPtr.Zero) throw new DllNotFoundException(path);
        }

        [DllImport("__Internal")]
        private static extern void mono_dllmap_insert(IntPtr assembly, string library, string function, string target,
                                                      string targetFunction);

        [DllImport("kernel32", CharSet = CharSet.Unicode, SetLastError = true)]
        private static extern IntPtr LoadLibraryW(string path);

        // .NET has a hook for this that .NET Standard does not declare.
        private static void Resolve(Type owner, string path)
        {
            var load = owner.GetMethod("Load", new[] { typeof(string) });
            var resolved = new Resolved((IntPtr)load.Invoke(null, new object[] { path }));
            var set = owner.GetMethod("SetDllImportResolver");
            var resolver = Delegate.CreateDelegate(set.GetParameters()[1].ParameterType, resolved,
                                                   typeof(Resolved).GetMethod(nameof(Resolved.Find)));
            set.Invoke(null, new object[] { typeof(Library).Assembly, resolver });
        }

        private sealed class Resolved
        {
            private readonly IntPtr library;
            public Resolved(IntPtr library) { this.library = library; }
            public IntPtr Find(string name, Assembly assembly, DllImportSearchPath? search)
            {
                return name == Name ? library : IntPtr.Zero;
            }
        }

        /// <summary>Fails loudly where the library or the layout of a struct is not the header's.</summary>
        internal static void Ensure()
        {
            if (ready) return;
            Version version = Version;
            if (version.Major != Header.Major || version.Minor < Header.Minor)
            {
                throw new InlayException(Status.Unsupported, "libinlay is " + version + "; this assembly needs " + Header);
            }
            if (IntPtr.Size == 8) Layout.Check();
            ready = true;
        }

        private static readonly Version Header = new Version(0, 1);

        internal static void CheckSize(string name, int size, int ofC)
        {
            if (size != ofC)
            {
                throw new InlayException(Status.Internal, name + " has " + size + " bytes here and " + ofC + " in C");
            }
        }

        /// <summary>Every struct and constant of the header as C# has it, for the test against what C says.</summary>
        internal static string Describe()
        {
            var text = new StringBuilder();
            Layout.Describe(text);
            Layout.DescribeConstants(text);
            return text.ToString();
        }
    }
}
