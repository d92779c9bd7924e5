using System;
using System.Collections.Generic;
using System.Linq;
using System.Reflection;

/// <summary>Runs every public static method of the test classes that is named on the command line, or all; after
/// `--library FILE` with the library of that file.</summary>
internal static class Check
{
    public static void True(bool holds, object seen = null)
    {
        if (!holds) throw new Exception("does not hold; seen: " + seen);
    }

    public static void Equal<T>(T expected, T seen)
    {
        if (!EqualityComparer<T>.Default.Equals(expected, seen)) throw new Exception("expected " + expected + ", seen " + seen);
    }

    public static T Throws<T>(Action call) where T : Exception
    {
        try
        {
            call();
        }
        catch (T thrown)
        {
            return thrown;
        }
        throw new Exception("no " + typeof(T).Name);
    }

    private static int Main(string[] names)
    {
        int failed = 0, passed = 0;
        if (names.Length > 1 && names[0] == "--library")
        {
            Inlay.Library.Load(names[1]);
            names = names.Skip(2).ToArray();
        }
        foreach (MethodInfo test in Assembly.GetExecutingAssembly().GetTypes().Where(type => type.Name.EndsWith("Test"))
                     .SelectMany(type => type.GetMethods(BindingFlags.Public | BindingFlags.Static)))
        {
            if (names.Length > 0 && !names.Contains(test.Name)) continue;
            try
            {
                test.Invoke(null, null);
                ++passed;
                Console.WriteLine("passed  " + test.Name);
            }
            catch (TargetInvocationException thrown)
            {
                ++failed;
                Console.WriteLine("FAILED  " + test.Name + ": " + thrown.InnerException);
            }
        }
        Console.WriteLine(passed + " tests passed, " + failed + " failed");
        return failed == 0 && passed > 0 ? 0 : 1;
    }
}
